"""Example services of a private cloud's global control plane."""
