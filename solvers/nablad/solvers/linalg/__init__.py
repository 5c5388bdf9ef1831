"""Dense linear algebra for the methods: triangles, symmetric factors, curvature."""
