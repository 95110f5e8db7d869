"""Which release this is, and which contract it keeps."""

SERVICE_VERSION = "0.1.0"  # pyproject.toml says the same
CONTRACT_VERSION = "1.0.0"
