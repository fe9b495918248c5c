"""Forward models: from a refractive-index volume to the intensity images it gives."""
