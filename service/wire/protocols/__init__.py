"""AWS's wire protocols: each reads requests and writes replies and faults, driven by a service's model."""
