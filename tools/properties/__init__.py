"""Properties of one crystal from any ASE calculator: elasticity, phonons, heat, defects, surfaces, migration."""
