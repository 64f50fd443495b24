"""The accelerator specs that come with accelsim, one YAML file each."""
