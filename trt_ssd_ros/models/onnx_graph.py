"""OnnxGraph: makers and readers of each tensor of a network; parts cut out as networks of their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import onnx
from onnx import NodeProto, ValueInfoProto

CONVOLUTIONS = ("Conv", "ConvInteger", "QLinearConv")


class OnnxGraph:
    """A view of a network's outermost graph; the network is left as it is.

    Attributes:
        model: The network.
        nodes: Its nodes, each before those that read from it.
        makers: Index of the node that makes a tensor.
        readers: Indices of the nodes that read a tensor, also from within their own bodies (Loop, If).
        constants: Names of the tensors that are stored in the file.
        inputs: What the network is fed with.
    """

    def __init__(self, network: onnx.ModelProto) -> None:
        self.model = network
        self.nodes: Sequence[NodeProto] = list(network.graph.node)
        self.makers = {name: index for index, node in enumerate(self.nodes) for name in node.output if name}
        self.readers: dict[str, list[int]] = defaultdict(list)
        for index, node in enumerate(self.nodes):
            for name in reads(node):
                self.readers[name].append(index)
        stored = {tensor.name for tensor in network.graph.initializer}
        self.constants = stored | {n.output[0] for n in self.nodes if n.op_type == "Constant"}
        self.inputs = [tensor for tensor in network.graph.input if tensor.name not in stored]

    def maker(self, tensor: str) -> NodeProto | None:
        """Return the node that makes a tensor, None for inputs and stored tensors."""
        return self.nodes[self.makers[tensor]] if tensor in self.makers else None

    def before(self, tensors: Iterable[str], stop: Collection[str] = ()) -> set[int]:
        """Return the indices of all nodes that tensors depend on, as far as those tensors where to stop."""
        return self._reached(tensors, stop, lambda index: reads(self.nodes[index]), self._making)

    def after(self, tensors: Iterable[str]) -> set[int]:
        """Return the indices of all nodes that depend on tensors."""
        return self._reached(tensors, (), lambda index: self.nodes[index].output, self._reading)

    def _making(self, tensor: str) -> Iterable[int]:
        return [self.makers[tensor]] if tensor in self.makers else []

    def _reading(self, tensor: str) -> Iterable[int]:
        return self.readers.get(tensor, [])

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
        """Return what leads from some tensors to others as a network.

        Args:
            inputs: Tensors that it is fed with, whatever made them before.
            outputs: Tensors that it returns; `more_nodes` may make them.
            more_nodes: Nodes that follow those of this graph.
            more_constants: What they read.
            frozen: Values of tensors that take the place of what makes them.

        Raises:
            ValueError: An output depends on an input of the network that is not among these.
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
    """Yield the tensors that a node reads, also those that its bodies read from around it."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for body in [attribute.g, *attribute.graphs] if attribute.HasField("g") else attribute.graphs:
            yield from free_names(body)


def free_names(body: onnx.GraphProto) -> Iterator[str]:
    """Yield the tensors that a body of a Loop or an If reads from around it."""
    own = {item.name for item in (*body.input, *body.initializer)}
    for node in body.node:
        yield from (name for name in reads(node) if name not in own)
        own.update(node.output)
    yield from (item.name for item in body.output if item.name not in own)
