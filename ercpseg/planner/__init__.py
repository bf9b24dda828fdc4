"""From fingerprint, recipe and budget to a plan whose every value has a rule, inputs and a source."""
