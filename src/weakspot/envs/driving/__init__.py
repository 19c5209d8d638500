"""A town to drive through, for agents that see it by depth, semantic classes and shaded gray (paper, section 4.7).

town -> lanes -> traffic, pedestrians -> world        no pixels in any of these
world -> meshes -> sensors -> env                     what is seen, and what gymnasium makes of it
"""
