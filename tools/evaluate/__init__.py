"""Hands that pay for a number: DFT, a high-fidelity potential, and the hull that they refer to."""
