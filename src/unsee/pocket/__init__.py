"""The built-in world: characters drawn by code, their lessons, and the small model that is trained on nothing else."""
