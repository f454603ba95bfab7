"""What everything else stands on, and no science: errors, files, paths, devices, randomness, registries, provenance."""
