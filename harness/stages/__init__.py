"""One module per kind of stage: glue between the rooms.

Each has ``run(parameters, inputs, out, progress)``: it reads the folders in `inputs`, writes the artifact's
files into `out`, and tells `progress` how far it is.
"""
