"""What edge.toml and console.toml may say, and the one clear line when they say it wrongly."""
