"""The faces of any number of films on disk, searched by a portrait; the persons who are known across films."""
