"""A world in which a campaign takes seconds: effective-medium theory for metals instead of networks and DFT.

Real: ledger, round, planner, surrogate, batched relaxer, screens, evaluation jobs in processes of their own, symmetry
finder. Simplified, and named so: the generator (decorated lattices), the recogniser (no network), the evaluator (the
potential itself, plus a constant). Energies are those of ASE's EMT (Jacobsen, Stoltze, Nørskov, Surf. Sci. 366, 394
(1996)), real for Al, Cu, Ag, Au, Ni, Pd and Pt and worth nothing for discovery.
"""
