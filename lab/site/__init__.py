"""The documentation site: pages are gathered, the reference is generated, Zensical builds it, and every link is checked."""
