"""Fields as files for other programs: volumes, pictures and movies. Neither Qt nor, on import, torch.

The command line and the window's export both fill in an `ExportJob` and have it written by `gui.export.write`.
"""
