"""Three-dimensional pictures of a field, by rays through the field itself; torch, on any device, without OpenGL."""

from recon.render.preview import Previews
from recon.render.render import render

__all__ = ["Previews", "render"]
