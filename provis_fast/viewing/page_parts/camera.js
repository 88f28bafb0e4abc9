// From where a structure is seen first: along its shortest axis, the longest one across the page.

// Eigenvectors of a symmetric 3 x 3 matrix by Jacobi rotations, by falling eigenvalue.
function eigenvectors(matrix) {
  const a = matrix.map((row) => [...row]);
  const v = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
  for (let sweep = 0; sweep < 50; sweep++) {
    for (const [p, q] of [[0, 1], [0, 2], [1, 2]]) {
      if (Math.abs(a[p][q]) < 1e-12) continue;
      const angle = 0.5 * Math.atan2(2 * a[p][q], a[q][q] - a[p][p]);
      const c = Math.cos(angle);
      const s = Math.sin(angle);
      for (let k = 0; k < 3; k++) {
        [a[k][p], a[k][q]] = [c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]];
      }
      for (let k = 0; k < 3; k++) {
        [a[p][k], a[q][k]] = [c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]];
        [v[k][p], v[k][q]] = [c * v[k][p] - s * v[k][q], s * v[k][p] + c * v[k][q]];
      }
    }
  }
  const order = [0, 1, 2].sort((i, j) => a[j][j] - a[i][i]);
  return order.map((i) => [v[0][i], v[1][i], v[2][i]]);
}

// C-alphas of all chains, [[x, y, z], ...].
function resolvedPositions(data) {
  return data.chains.flatMap((chain, c) =>
    Array.from({ length: chain.length }, (_, i) => data.position(c, i)).filter(Boolean));
}

// {direction, up, radius}: of sight, of the page, and of the structure in angstroms.
function firstSight(data) {
  const places = resolvedPositions(data);
  if (places.length < 3) return { direction: [0, 0, -1], up: [0, 1, 0], radius: 10 };
  const mean = [0, 1, 2].map((k) => places.reduce((sum, p) => sum + p[k], 0) / places.length);
  const spread = [0, 1, 2].map((j) => [0, 1, 2].map((k) =>
    places.reduce((sum, p) => sum + (p[j] - mean[j]) * (p[k] - mean[k]), 0) / places.length));
  const [, middle, shortest] = eigenvectors(spread);
  const radius = Math.max(...places.map((p) => Math.hypot(...p.map((x, k) => x - mean[k]))));
  return { direction: shortest.map((x) => -x), up: middle, radius };
}
