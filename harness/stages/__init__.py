"""Stages: one module for each kind, glue between the packages.

Each has ``run(parameters, inputs, out, progress)``: it reads the folders in `inputs`, writes the artifact's files into
`out`, and reports to `progress` (`harness.stages.interface`).
"""
