"""What tests share: stories, fakes, runs of real processes, browsers. Imports no test module."""
