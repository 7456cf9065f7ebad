"""The container engine of this machine: found, asked, and what containers of images are made of there."""
