"""The bedside console: what nurses and technicians see, and the one place where a patient has a name."""
