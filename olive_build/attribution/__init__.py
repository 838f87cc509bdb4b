"""Which layers of a variant lose fidelity: two graphs compared, layer by layer, on real inputs."""
