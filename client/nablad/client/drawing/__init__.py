"""Computation graphs as pictures.

boxes      what is written on a node
layers     where the nodes stand: a layered layout (Sugiyama, Tagawa, Toda 1981)
svg        a picture that needs nothing else
mermaid    text for Markdown pages
dot        text for Graphviz
describe   the graph's description, which has them all
"""

from nablad.client.drawing.describe import GraphDescription, GraphNode, Summary, WayChoice

__all__ = ["GraphDescription", "GraphNode", "Summary", "WayChoice"]
