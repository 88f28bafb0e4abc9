// Mol* inside the page, as ipymolstar packs it: an anywidget module with `render({ model, el })`.
//
// The module keeps its viewer to itself. What is needed of it beyond drawing one scene (new arcs
// without a new structure, what the pointer is on, a picture) goes by Mol*'s plugin, and the way to
// that is here alone: loadMVS takes loading extensions, a documented part of Mol*, and calls their
// `action(target, node, ...)` with the state builder that the scene is added to; the builder knows
// its state, and the state the plugin that it belongs to (`globalContext`). Should a later Mol*
// keep one of these elsewhere, `plugin` stays null: scenes are drawn anew as a whole then, and the
// page says what it cannot do.

const VIEWER_OPTIONS = {
  extensions: ["mvs"],
  layoutIsExpanded: false,
  layoutShowControls: false,
  layoutShowRemoteState: false,
  layoutShowSequence: false,
  layoutShowLog: false,
  layoutShowLeftPanel: false,
  viewportShowExpand: false,
  viewportShowControls: false,
  viewportShowSettings: false,
  viewportShowSelectionMode: false,
  viewportShowAnimation: false,
  viewportShowTrajectoryControls: false,
  volumeStreamingDisabled: true,
  pluginStateServer: "",
  volumeStreamingServer: "",
};

// Without what makes pictures finer: the first picture comes sooner so. Where there is no graphics
// hardware, and the processor draws, none has shades, and edges are smoothed only at rest.
const PLAIN_DRAWING = {
  multiSample: { mode: "off" },
  postprocessing: {
    occlusion: { name: "off", params: {} },
    shadow: { name: "off", params: {} },
    outline: { name: "off", params: {} },
  },
};

// Whether the processor draws in place of graphics hardware.
function drawsInSoftware(gl) {
  const named = gl.getExtension("WEBGL_debug_renderer_info");
  const renderer = gl.getParameter(named ? named.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(String(renderer));
}

// Call back at the next value of a subject, which tells its latest one at once.
function afterNext(subject, listener) {
  let told = false;
  const subscription = subject.subscribe(() => {
    if (!told) return;
    subscription.unsubscribe();
    listener();
  });
  told = true;
}

// The part of anywidget's model that the module uses.
class WidgetModel {
  constructor(values) {
    this.values = values;
    this.listeners = new Map();
  }

  get(name) {
    return this.values[name];
  }

  on(name, listener) {
    this.listeners.set(name, listener);
  }

  set(values) {
    Object.assign(this.values, values);
    for (const name of Object.keys(values)) this.listeners.get(`change:${name}`)?.();
  }
}

class MolstarViewer {
  // Draws `scene` (MolViewSpec) in an element; `ready` is kept when it was drawn.
  constructor(module, container, scene) {
    this.plugin = null;
    this.container = container;
    this.ready = new Promise((resolve, reject) => {
      this.failed = reject;
      this.loaded = resolve;
    });
    const extension = {
      id: "provis_fast-plugin",
      description: "Tells which plugin the scene is loaded into.",
      createExtensionContext: () => ({}),
      action: (target) => this.#meet(target?.update?.state?.state?.globalContext ?? null),
    };
    this.model = new WidgetModel({
      width: "100%",
      height: "100%",
      viewer_options: VIEWER_OPTIONS,
      msvj_data: JSON.stringify(scene),
      mvs_load_options: { replaceExisting: true, keepCamera: false, extensions: [extension] },
    });
    module.default.render({ model: this.model, el: container });
  }

  #meet(plugin) {
    if (this.met) return;
    this.met = true;
    if (!plugin?.state?.data?.cells || !plugin.canvas3d) {
      setTimeout(this.loaded, 1000);
      return;
    }
    this.plugin = plugin;
    const { canvas3d } = plugin;
    const { multiSample, postprocessing } = canvas3d.props;
    canvas3d.setProps({
      ...PLAIN_DRAWING, camera: { helper: { axes: { name: "off", params: {} } } },
    });
    const seen = canvas3d.didDraw.subscribe(() => {
      if (this.#cell("arcs") === undefined || canvas3d.reprCount.value === 0) return;
      seen.unsubscribe();
      this.first = canvas3d.camera.getSnapshot();
      this.loaded();
      canvas3d.setProps({ camera: { manualReset: true } });
      this.software = drawsInSoftware(canvas3d.webgl.gl);
      if (this.software) {
        this.#refineLater();
        for (const name of ["pointermove", "pointerdown", "wheel"]) {
          this.container.addEventListener(name, () => this.#refineLater(), { passive: true });
        }
      } else {
        canvas3d.setProps({ multiSample, postprocessing });
      }
    });
  }

  // The cell that Mol* made of a node with a `ref`.
  #cell(ref) {
    for (const cell of this.plugin.state.data.cells.values()) {
      if (cell.transform.tags?.includes(`mvs-ref:${ref}`)) return cell;
    }
    return undefined;
  }

  // Smooth edges once nothing has changed, nor the pointer moved, for a moment: that takes several
  // drawings, which would keep those that matter waiting.
  #refineLater() {
    if (!this.software) return;
    const refine = (mode) => {
      this.refined = mode !== "off";
      this.plugin.canvas3d.setProps({ multiSample: { mode, sampleLevel: 2 } });
    };
    clearTimeout(this.refining);
    if (this.refined) refine("off");
    this.refining = setTimeout(() => refine("temporal"), 800);
  }

  // Replace groups of primitives, by `ref`, and set opacities of representations; all at once.
  // False where that is impossible. Calls `onDrawn` when the new picture is there.
  async update(primitives, opacities, onDrawn) {
    if (this.plugin === null) return false;
    const build = this.plugin.state.data.build();
    for (const node of primitives) {
      const cell = this.#cell(node.ref);
      if (cell === undefined) return false;
      build.to(cell.transform.ref).update({ node });
    }
    for (const [ref, alpha] of Object.entries(opacities)) {
      const cell = this.#cell(ref);
      if (cell === undefined) continue;
      build.to(cell.transform.ref).update((old) => ({
        ...old, type: { ...old.type, params: { ...old.type.params, alpha } },
      }));
    }
    this.#refineLater();
    await build.commit({ doNotUpdateCurrent: true });
    afterNext(this.plugin.canvas3d.didDraw, onDrawn);
    this.plugin.canvas3d.requestDraw();
    return true;
  }

  // Draw another scene instead; the camera stays.
  replace(scene) {
    const options = { ...this.model.get("mvs_load_options"), keepCamera: true };
    this.model.set({ mvs_load_options: options, msvj_data: JSON.stringify(scene) });
  }

  // Call back with {primitive}, {asym, seq}, {text} or null when the pointer moves to a thing.
  onHover(listener) {
    this.plugin?.behaviors.interaction.hover.subscribe(({ current }) =>
      listener(this.#describe(current.loci)));
  }

  #describe(loci) {
    if (loci.kind === "group-loci") {
      const group = Number(this.#first(loci.groups[0]?.ids));
      const node = loci.shape.sourceData?.groupToNode?.get(group);
      return node === undefined ? null : { primitive: node };
    }
    const place = loci.kind === "bond-loci"
      ? loci.bonds[0] && { unit: loci.bonds[0].aUnit, index: loci.bonds[0].aIndex }
      : loci.kind === "element-loci" && loci.elements[0] &&
        { unit: loci.elements[0].unit, index: this.#first(loci.elements[0].indices) };
    if (!place) return null;
    const { unit } = place;
    const atom = unit.elements[place.index];
    const { residues, chains, atoms } = unit.model.atomicHierarchy;
    const residue = unit.residueIndex[atom];
    const chain = unit.chainIndex[atom];
    return {
      asym: chains.label_asym_id.value(chain),
      seq: residues.label_seq_id.value(residue),
      text: `${chains.auth_asym_id.value(chain)}:${atoms.auth_comp_id.value(atom)} ` +
        `${residues.auth_seq_id.value(residue)}${residues.pdbx_PDB_ins_code.value(residue)}`,
    };
  }

  // First number of Mol*'s ordered sets: an array, or an interval packed into a double.
  #first(set) {
    if (typeof set !== "number") return set?.[0];
    return new Int32Array(new Float64Array([set]).buffer)[0];
  }

  // Back to where the scene was first seen from.
  resetCamera() {
    if (this.first) this.plugin.managers.camera.setSnapshot(this.first, 250);
  }

  // The picture as a PNG, at `scale` times the size on the page.
  async picture(scale) {
    const helper = this.plugin?.helpers?.viewportScreenshot;
    if (!helper) throw new Error("the viewer gives no picture; take a screenshot of the page");
    const { drawingBufferWidth, drawingBufferHeight } = this.plugin.canvas3d.webgl.gl;
    const size = {
      width: Math.round(drawingBufferWidth * scale),
      height: Math.round(drawingBufferHeight * scale),
    };
    helper.behaviors.values.next({
      ...helper.values, resolution: { name: "custom", params: size },
    });
    // The whole view, not what Mol* would cut out of it.
    helper.behaviors.cropParams.next({ auto: false, relativePadding: 0 });
    helper.behaviors.relativeCrop.next({ x: 0, y: 0, width: 1, height: 1 });
    if (this.software) {
      helper.imagePass.setProps({ multiSample: { mode: "on", sampleLevel: 1, reuseOcclusion: false } });
    }
    return (await fetch(await helper.getImageDataUri())).blob();
  }
}
