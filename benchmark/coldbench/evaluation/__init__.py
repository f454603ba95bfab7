"""The engine: batch after batch is degraded, restored or generated, and scored."""

#: The protocols by name; see ``coldbench.evaluation.protocols``.
PROTOCOLS = ("paper", "released")
