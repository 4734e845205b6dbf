"""The stages of a study: each turns files into files, and all that computes lies in the packages it calls."""
