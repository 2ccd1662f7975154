def verify(program):
    return program
