"""Steps of a program in C, for processors with AVX-512 VNNI: sources, their compilation, and how memory is laid out."""

__all__: list[str] = []
