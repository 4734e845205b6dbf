"""The mistakes of the documents this project started from: what each says, what is right, and the evidence.

`corrections.yaml` holds them as data (`entries`), `wrong` their formulas as samplers,
`numbers` what is computed for them.
"""
