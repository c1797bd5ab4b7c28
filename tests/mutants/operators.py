"""Ways to make a formula wrong that cosmic-ray has not, in its own form: an Operator says where, and makes it so."""

from collections.abc import Iterator

import parso
from cosmic_ray.operators.operator import Operator
from parso.python.tree import Name, Number
from parso.tree import BaseNode, NodeOrLeaf

PAIRS = [("mean", "sum"), ("max", "min"), ("head", "tail"), ("zeros", "ones"), ("sin", "cos"), ("ceil", "floor")]
PAIRS += [("amax", "amin"), ("maximum", "minimum"), ("median", "mean"), ("std", "var"), ("any", "all")]
OTHER = dict([(b, a) for a, b in PAIRS] + PAIRS)
# Methods that give back what they are called on, but for what they are there for.
CHANGES = {"abs", "square", "sqrt", "log1p", "exp", "clamp", "clip", "round", "flatten", "norm", "cummax", "dropna"}
CHANGES |= {"detach", "clone", "copy", "float", "double", "half", "eval", "train", "requires_grad_", "to", "astype"}
CHANGES |= {"expand", "expand_as", "repeat", "removeprefix", "removesuffix", "strip", "replace", "tail", "head"}


class Numbers(Operator):
    """A whole number one more or less, any other a quarter: cosmic-ray adds 1 to 0.05 too, which anything would see."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[tuple]:
        if isinstance(node, Number):
            yield from [(node.start_pos, node.end_pos)] * 2

    def mutate(self, node: Number, index: int) -> Number:
        value = eval(node.value)
        other = value + (1, -1)[index] if isinstance(value, int) else value * (1.25, 0.75)[index] or (1.0, -1.0)[index]
        return Number(repr(other), node.start_pos, node.prefix)

    @classmethod
    def examples(cls) -> tuple:
        return ()


class Names(Numbers):
    """A function for its opposite: a mean for a sum."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[tuple]:
        if isinstance(node, Name) and node.value in OTHER and node.parent.type != "param":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Name, index: int) -> Name:
        return Name(OTHER[node.value], node.start_pos, node.prefix)


class Calls(Numbers):
    """A method that is not called: `error.square().mean()` without the square."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[tuple]:
        found = [(node.children[place].start_pos, node.children[place + 1].end_pos) for place in self._places(node)]
        yield from found  # all at once: the node is changed meanwhile

    def mutate(self, node: BaseNode, index: int) -> BaseNode:
        place = self._places(node)[index]
        del node.children[place : place + 2]
        return node

    def _places(self, node: NodeOrLeaf) -> list[int]:
        parts = node.children if node.type == "atom_expr" else []
        codes = [part.get_code() for part in parts]
        return [n for n in range(1, len(parts) - 1) if codes[n][1:] in CHANGES and codes[n + 1].startswith("(")]


class Keywords(Numbers):
    """An argument by name that is left out: its default instead, where it has one."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[tuple]:
        yield from [(node.children[place].start_pos, node.children[place].end_pos) for place in self._places(node)]

    def mutate(self, node: BaseNode, index: int) -> BaseNode:
        place = self._places(node)[index]
        first = node.children[place + 1 : place + 2] != [","]  # the comma before it goes, where none is behind it
        around = (place - first, place + 2 - first) if node.type == "arglist" else (place, place + 1)
        del node.children[slice(*around)]
        return node

    def _places(self, node: NodeOrLeaf) -> list[int]:
        called = node.type == "arglist" or (node.type == "trailer" and node.children[0] == "(")
        parts = enumerate(node.children if called else [])
        return [n for n, part in parts if part.type == "argument" and part.children[1] == "="]


class Statements(Numbers):
    """A call for its effect, or an assignment that adds to what was there, that is left out."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[tuple]:
        inside = node.children[0] if node.type == "simple_stmt" else None
        if inside is None:
            return
        changed = inside.type == "expr_stmt" and inside.children[1].type in ("augassign", "operator")
        changed = changed and inside.children[1].get_code().strip() not in ("=", ":")
        if inside.type in ("atom_expr", "power") or changed:
            yield inside.start_pos, inside.end_pos

    def mutate(self, node: BaseNode, index: int) -> BaseNode:
        prefix = node.children[0].get_first_leaf().prefix
        node.children[0] = parso.parse(f"{prefix}pass").children[0]
        return node


OWN = {f"srkit/{operator.__name__}": operator for operator in (Numbers, Names, Calls, Keywords, Statements)}
# Of cosmic-ray's, without the many that put any sign in the place of any other.
SIGNS = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_FloorDiv", "Pow_Mul", "BitOr_BitAnd")
ORDER = ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_GtE", "Gt_LtE", "Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is")
CORE = [f"ReplaceBinaryOperator_{kind}" for kind in (*SIGNS, "BitAnd_BitOr")]
CORE += [f"ReplaceComparisonOperator_{kind}" for kind in ORDER]
CORE += [f"ReplaceUnaryOperator_Delete_{kind}" for kind in ("USub", "Not", "Invert")]
CORE += ["AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"]
CORE += ["ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop", "RemoveDecorator"]
