"""The scripts of a folder to deploy, copied into it as they are; they need neither slmcheck nor torch."""
