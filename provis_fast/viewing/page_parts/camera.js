// From where a structure is seen first: along its shortest axis, the longest one across the page.

// Atoms reach beyond C-alphas by a few angstroms.
const SIDE_CHAIN = 3;

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

// Where to look from, with sides `aspect` times as wide as high: {target, position, up} of a camera,
// and `radius` of the structure in angstroms.
function firstSight(data, aspect) {
  const places = resolvedPositions(data);
  if (places.length === 0) places.push([0, 0, 0]);
  const mean = [0, 1, 2].map((k) => places.reduce((sum, p) => sum + p[k], 0) / places.length);
  const spread = [0, 1, 2].map((j) => [0, 1, 2].map((k) =>
    places.reduce((sum, p) => sum + (p[j] - mean[j]) * (p[k] - mean[k]), 0) / places.length));
  const axes = eigenvectors(spread);
  const reach = axes.map((axis) => {
    const along = places.map((p) => p.reduce((sum, x, k) => sum + (x - mean[k]) * axis[k], 0));
    return [Math.min(...along), Math.max(...along)];
  });
  const [width, height, depth] = reach.map(([low, high]) => (high - low) / 2 + SIDE_CHAIN);
  const target = mean.map((x, k) =>
    x + axes.reduce((sum, axis, a) => sum + axis[k] * (reach[a][0] + reach[a][1]) / 2, 0));
  // Mol* shows a sphere of half the distance between camera and target; what is nearer looks larger.
  const seen = Math.max(height, width / aspect) + 0.1 * depth;
  const [, up, sight] = axes;
  return {
    target,
    position: target.map((x, k) => x + 2 * seen * sight[k]),
    up,
    radius: Math.hypot(width, height, depth),
  };
}
