"""Body networks: train them, and extract features from person crops."""
