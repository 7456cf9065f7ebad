"""Model artifacts: found, unpacked, checked, and cleared away."""
