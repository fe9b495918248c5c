"""The instrument: hardware profile, exposure plan, LED board and camera, scan, capture file. Never torch, never Qt."""
