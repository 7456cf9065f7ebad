"""What a program finds on its path under `sagebird run`; nothing of ours imports it."""
