"""The doctor for bad models: what is wrong with a trained network, the cause before its consequences."""
