"""Hardware profiles shipped with Fieldscope: one TOML file is one microscope."""
