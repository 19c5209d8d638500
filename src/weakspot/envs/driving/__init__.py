"""A town with traffic, for agents that see it through depth, semantic classes and shaded gray (paper, section 4.7).

town -> lanes -> traffic, pedestrians -> world        the simulation, without pixels
world -> meshes -> sensors -> env                     the sensors, and the gymnasium environment
"""
