"""DVC's graph of stages on one screen: ``networks@vgg16`` and its like as one stage, and no arrow that follows from others."""

from collections import Counter
from pathlib import Path

import networkx as nx
from dvc.repo import Repo


def stages() -> nx.DiGraph:
    """The stages of ./dvc.yaml, those of a matrix or a list together, with an edge from each to those that need it. ``count``: how many."""
    here, index = Path("dvc.yaml").absolute(), Repo().index
    own = {stage: stage.name.partition("@")[0] for stage in index.stages if Path(stage.path) == here}
    whole = nx.DiGraph((own[needed], own[stage]) for stage, needed in index.graph.subgraph(own).edges if own[stage] != own[needed])
    whole.add_nodes_from(own.values())
    graph = nx.transitive_reduction(whole)
    nx.set_node_attributes(graph, Counter(own.values()), "count")
    return graph


def listed(graph: nx.DiGraph) -> str:
    """A line for each stage, after those that it needs: its name, how many it is, and what it needs directly."""
    order = list(nx.lexicographical_topological_sort(graph))
    width = max(len(titled(graph, name)) for name in order)
    return "\n".join(f"{titled(graph, name):{width}}  {', '.join(sorted(graph.predecessors(name)))}".rstrip() for name in order)


def mermaid(graph: nx.DiGraph) -> str:
    """A Mermaid flowchart, which GitHub draws."""
    nodes = [f'  {name}["{titled(graph, name)}"]' for name in sorted(graph)]
    return "\n".join(["flowchart TD", *nodes, *(f"  {start} --> {end}" for start, end in sorted(graph.edges))])


def titled(graph: nx.DiGraph, name: str) -> str:
    """A stage's name, and how many there are of it."""
    count = graph.nodes[name]["count"]
    return name if count == 1 else f"{name} ({count})"
