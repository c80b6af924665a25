"""OnnxGraph: producers and consumers of each tensor in a network, and extraction of subgraphs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import onnx
from onnx import NodeProto, ValueInfoProto

CONVOLUTIONS = ("Conv", "ConvInteger", "QLinearConv")


class OnnxGraph:
    """Read-only view of a network's outermost graph.

    Attributes:
        model: Network.
        nodes: Nodes in topological order.
        producers: Index of the node that outputs a tensor, by tensor name.
        consumers: Indices of the nodes that read a tensor, subgraphs of nodes (Loop, If) included, by tensor name.
        constants: Names of the tensors that are stored in the file.
        inputs: Inputs of the network that are not stored in the file.
    """

    def __init__(self, network: onnx.ModelProto) -> None:
        self.model = network
        self.nodes: Sequence[NodeProto] = list(network.graph.node)
        self.producers = {name: index for index, node in enumerate(self.nodes) for name in node.output if name}
        self.consumers: dict[str, list[int]] = defaultdict(list)
        for index, node in enumerate(self.nodes):
            for name in reads(node):
                self.consumers[name].append(index)
        stored = {tensor.name for tensor in network.graph.initializer}
        self.constants = stored | {n.output[0] for n in self.nodes if n.op_type == "Constant"}
        self.inputs = [tensor for tensor in network.graph.input if tensor.name not in stored]

    def producer(self, tensor: str) -> NodeProto | None:
        """Return the node that outputs a tensor; None for inputs and stored tensors."""
        return self.nodes[self.producers[tensor]] if tensor in self.producers else None

    def before(self, tensors: Iterable[str], stop: Collection[str] = ()) -> set[int]:
        """Return the indices of all nodes that tensors depend on, without those before the tensors in `stop`."""
        return self._reached(tensors, stop, lambda index: reads(self.nodes[index]), self._producers_of)

    def after(self, tensors: Iterable[str]) -> set[int]:
        """Return the indices of all nodes that depend on tensors."""
        return self._reached(tensors, (), lambda index: self.nodes[index].output, self._consumers_of)

    def _producers_of(self, tensor: str) -> Iterable[int]:
        return [self.producers[tensor]] if tensor in self.producers else []

    def _consumers_of(self, tensor: str) -> Iterable[int]:
        return self.consumers.get(tensor, [])

    @staticmethod
    def _reached(
        tensors: Iterable[str],
        stop: Collection[str],
        tensors_of: Callable[[int], Iterable[str]],
        nodes_of: Callable[[str], Iterable[int]],
    ) -> set[int]:
        found: set[int] = set()
        waiting = list(tensors)
        while waiting:
            tensor = waiting.pop()
            for index in nodes_of(tensor) if tensor not in stop else ():
                if index not in found:
                    found.add(index)
                    waiting.extend(tensors_of(index))
        return found

    def cut(
        self,
        inputs: Sequence[ValueInfoProto],
        outputs: Sequence[ValueInfoProto],
        more_nodes: Sequence[NodeProto] = (),
        more_constants: Sequence[onnx.TensorProto] = (),
        frozen: Sequence[onnx.TensorProto] = (),
    ) -> onnx.ModelProto:
        """Return the part of the graph between some tensors and others as a network.

        Args:
            inputs: Inputs of the new network: any tensors of this graph.
            outputs: Outputs of the new network: tensors of this graph or of `more_nodes`.
            more_nodes: Nodes to append.
            more_constants: Constant tensors that `more_nodes` read.
            frozen: Values of tensors that become constants.

        Raises:
            ValueError: An output depends on an input of this graph that is not in `inputs`.
        """
        fed = [*(tensor.name for tensor in inputs), *(tensor.name for tensor in frozen)]
        made = {name for node in more_nodes for name in node.output}
        wanted = [tensor.name for tensor in outputs if tensor.name not in made]
        wanted += [name for node in more_nodes for name in reads(node)]
        kept = [self.nodes[index] for index in sorted(self.before(wanted, stop=fed))]
        needed = {*wanted, *(name for node in kept for name in reads(node))}
        missing = {tensor.name for tensor in self.inputs} & needed - set(fed)
        if missing:
            raise ValueError(f"{', '.join(wanted)} also depend on the input {', '.join(sorted(missing))}")
        constants = [item for item in (*self.model.graph.initializer, *frozen) if item.name in needed]
        graph = onnx.helper.make_graph(
            [*kept, *more_nodes],
            self.model.graph.name or "network",
            inputs,
            outputs,
            [*constants, *more_constants],
        )
        part = onnx.helper.make_model(graph, opset_imports=self.model.opset_import)
        part.ir_version = self.model.ir_version
        part.functions.extend(self.model.functions)
        return part


def reads(node: NodeProto) -> Iterator[str]:
    """Yield the names of the tensors that a node reads, outer ones that its subgraphs read included."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for body in [attribute.g, *attribute.graphs] if attribute.HasField("g") else attribute.graphs:
            yield from free_names(body)


def free_names(body: onnx.GraphProto) -> Iterator[str]:
    """Yield the names of the outer tensors that the subgraph of a Loop or an If reads."""
    own = {item.name for item in (*body.input, *body.initializer)}
    for node in body.node:
        yield from (name for name in reads(node) if name not in own)
        own.update(node.output)
    yield from (item.name for item in body.output if item.name not in own)
