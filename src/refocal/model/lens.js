// The rendering half of a lens model in WebGL 2: the levels of blur from near to far, then the refiner, as learning/networks/renderer.py
// and lens.py have them. `told` is the metadata "renderer" of NAME.render.onnx.
const COMMON = `#version 300 es
  precision highp float; precision highp sampler2D;
  uniform ivec2 size, real; uniform float focus, aperture, level, before, after, last; // aperture in px
  bool inside(ivec2 p) { return all(greaterThanEqual(p, ivec2(0))) && all(lessThan(p, size)); }
  vec3 toLinear(vec3 c) { return mix(pow((max(c, 0.04045) + 0.055) / 1.055, vec3(2.4)), c / 12.92, lessThanEqual(c, vec3(0.04045))); }
  vec3 toSrgb(vec3 c) { return mix(1.055 * pow(max(c, 0.0031308), vec3(1.0 / 2.4)) - 0.055, c * 12.92, lessThanEqual(c, vec3(0.0031308))); }
  float blurOf(float disparity) { return aperture * (focus - disparity) / 2.0; }
  float share(float disparity) { float away = clamp(blurOf(disparity), -last, last) - level; return max(0.0, 1.0 - max(away * after, -away * before)); }
  vec4 laid(vec4 made, vec4 layer) { return made + layer * (min(layer.a, 1.0 - made.a) / max(layer.a, 1e-6)); }
`;
const MAIN = { // the uniforms of a pass, where it reads, and what it writes
  // Light and disparity, padded to whole blocks by reflection.
  scene: `uniform sampler2D photo, map; uniform float highlights; out vec4 made;
    void main() {
      ivec2 p = ivec2(gl_FragCoord.xy), q = real - 1 - abs(real - 1 - p);
      vec3 light = toLinear(texelFetch(photo, max(q, 0), 0).rgb), over = max((light - 0.9) / 0.1, 0.0);
      made = vec4(light + (highlights - 1.0) * over * over, texelFetch(map, max(q, 0), 0).r * 2.0 - 1.0);
    }`,
  near: `uniform sampler2D scene, before_; uniform float disk[81]; uniform int half_; out vec4 made;
    void main() {
      ivec2 p = ivec2(gl_FragCoord.xy); vec4 layer = vec4(0.0); int side = 2 * half_ + 1;
      for (int y = -half_; y <= half_; y++) for (int x = -half_; x <= half_; x++) {
        ivec2 q = p + ivec2(x, y);
        if (!inside(q)) continue;
        vec4 s = texelFetch(scene, q, 0);
        layer += disk[(y + half_) * side + x + half_] * share(s.a) * vec4(s.rgb, 1.0);
      }
      made = laid(texelFetch(before_, p, 0), layer);
    }`,
  shrink: `uniform sampler2D scene; uniform int part; out vec4 made;
    void main() {
      ivec2 p = ivec2(gl_FragCoord.xy) * part; made = vec4(0.0);
      for (int y = 0; y < part; y++) for (int x = 0; x < part; x++) { vec4 s = texelFetch(scene, p + ivec2(x, y), 0); made += share(s.a) * vec4(s.rgb, 1.0); }
      made /= float(part * part);
    }`,
  spread: `uniform sampler2D small; uniform float disk[81]; uniform int half_; out vec4 made;
    void main() {
      ivec2 p = ivec2(gl_FragCoord.xy); made = vec4(0.0); int side = 2 * half_ + 1;
      for (int y = -half_; y <= half_; y++) for (int x = -half_; x <= half_; x++) { ivec2 q = p + ivec2(x, y); if (inside(q)) made += disk[(y + half_) * side + x + half_] * texelFetch(small, q, 0); }
    }`,
  lay: `uniform sampler2D small, before_; out vec4 made;
    void main() { made = laid(texelFetch(before_, ivec2(gl_FragCoord.xy), 0), texture(small, gl_FragCoord.xy / vec2(size))); }`,
  // What the refiner looks at: the picture so far and the blur; all in [-1, 1].
  develop: `uniform sampler2D scene, before_; uniform float highlights; out vec4 made;
    void main() {
      ivec2 p = ivec2(gl_FragCoord.xy); vec4 sum = texelFetch(before_, p, 0); vec3 light = sum.rgb / max(sum.a, 1e-4);
      if (highlights > 1.0) { float a = (highlights - 1.0) / 0.01; light = min(light, 0.9) + (sqrt(1.0 + 4.0 * a * max(light - 0.9, 0.0)) - 1.0) / (2.0 * a); }
      made = vec4(toSrgb(clamp(light, 0.0, 1.0)) * 2.0 - 1.0, blurOf(texelFetch(scene, p, 0).a) / 8.0);
    }`,
  finish: `uniform sampler2D rendered; out vec4 made; void main() { made = vec4((texelFetch(rendered, ivec2(gl_FragCoord.xy), 0).rgb + 1.0) / 2.0, 1.0); }`,
  // Wide blurs (render/wide_blur.py): half the size in light; the difference; what is coarse comes from the half picture.
  halve: `uniform sampler2D photo, map; out vec4 made;
    void main() {
      ivec2 p = 2 * ivec2(gl_FragCoord.xy); vec3 light = vec3(0.0);
      for (int k = 0; k < 4; k++) light += toLinear(texelFetch(photo, min(p + ivec2(k & 1, k >> 1), real - 1), 0).rgb);
      made = vec4(toSrgb(light / 4.0), texelFetch(map, min(p, real - 1), 0).r);
    }`,
  change: `uniform sampler2D halved, photo; out vec4 made; void main() { ivec2 p = ivec2(gl_FragCoord.xy); made = texelFetch(photo, p, 0) - texelFetch(halved, p, 0); }`,
  add: `uniform sampler2D photo, small; uniform ivec2 smallReal; out vec4 made;
    void main() {
      vec2 at = gl_FragCoord.xy / 2.0 - 0.5, part = fract(at); ivec2 p = ivec2(floor(at)), most = smallReal - 1; vec3 seen[4];
      for (int k = 0; k < 4; k++) seen[k] = texelFetch(small, clamp(p + ivec2(k & 1, k >> 1), ivec2(0), most), 0).rgb;
      vec3 more = mix(mix(seen[0], seen[1], part.x), mix(seen[2], seen[3], part.x), part.y);
      made = vec4(clamp(texelFetch(photo, ivec2(gl_FragCoord.xy), 0).rgb + more, 0.0, 1.0), 1.0);
    }`,
  show: `uniform sampler2D photo; out vec4 made;
    void main() { ivec2 p = ivec2(gl_FragCoord.xy); made = vec4(texelFetch(photo, ivec2(p.x, real.y - 1 - p.y), 0).rgb, 1.0); }`,
};
// A convolution of 3 x 3; inputs and outputs are groups of four channels, a texture each.
const convolution = (from, to, dilation, last) => `
  layout(std140) uniform Weights { mat4 weight[${9 * from * to}]; vec4 bias[${to}]; };
  ${last ? "uniform sampler2D rendered; uniform float strength;" : ""}
  ${from === 2 ? "uniform sampler2D rendered, scene;" : Array.from({ length: from }, (_, k) => `uniform sampler2D input${k};`).join(" ")}
  ${Array.from({ length: to }, (_, k) => `layout(location = ${k}) out vec4 made${k};`).join(" ")}
  vec4 gelu(vec4 x) { // erf: Abramowitz and Stegun, 7.1.26
    vec4 z = abs(x) * 0.70710678, t = 1.0 / (1.0 + 0.3275911 * z);
    vec4 erf = 1.0 - ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * exp(-z * z);
    return 0.5 * x * (1.0 + sign(x) * erf);
  }
  void main() {
    ivec2 p = ivec2(gl_FragCoord.xy);
    ${Array.from({ length: to }, (_, k) => `vec4 sum${k} = bias[${k}];`).join(" ")}
    for (int k = 0; k < 9; k++) {
      ivec2 q = p + ${dilation} * ivec2(k % 3 - 1, k / 3 - 1);
      if (!inside(q)) continue;
      ${from === 2 ? `vec4 r = texelFetch(rendered, q, 0), s = texelFetch(scene, q, 0); vec3 own = toSrgb(s.rgb) * 2.0 - 1.0;
      vec4 x0 = vec4(r.rgb, own.r), x1 = vec4(own.gb, r.a, abs(r.a));` : Array.from({ length: from }, (_, i) => `vec4 x${i} = texelFetch(input${i}, q, 0);`).join(" ")}
      ${Array.from({ length: from * to }, (_, j) => `sum${j % to} += weight[k * ${from * to} + ${j}] * x${Math.floor(j / to)};`).join(" ")}
    }
    ${last ? "made0 = vec4((clamp(texelFetch(rendered, p, 0).rgb + strength * sum0.rgb, -1.0, 1.0) + 1.0) / 2.0, 1.0);" : Array.from({ length: to }, (_, k) => `made${k} = gelu(sum${k});`).join(" ")}
  }`;

class Lens {
  // Throws where this browser cannot. `photo` and `map` are images of one size; the map is 0 farthest, 255 nearest.
  constructor(canvas, photo, map, told) {
    const gl = this.gl = canvas.getContext("webgl2", { alpha: false, antialias: false, preserveDrawingBuffer: true });
    if (!gl || !(gl.getExtension("EXT_color_buffer_float") || gl.getExtension("EXT_color_buffer_half_float"))) throw new Error("no WebGL 2 with half floats");
    const { levels, channels, weights } = told, values = halves(weights);
    Object.assign(this, { canvas, told, programs: {}, pool: new Map(), frame: gl.createFramebuffer() });
    let at = 0;
    const take = (count) => values.subarray(at, (at += count));
    this.levels = levels.map(([level, part, side]) => ({ level, part, half: side >> 1, disk: take(side * side) }));
    this.refiner = channels ? [[8, channels, 1], [channels, channels, 2], [channels, 3, 1]].map(([from, to, dilation], k) => this.layer(take(9 * from * to), take(to), from, to, dilation, k === 2)) : [];
    const source = (image) => { const made = this.texture(); gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE); gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, image); return made; };
    this.sizes = [this.prepared(source(photo), source(map), photo.naturalWidth, photo.naturalHeight)]; // the photo, and half of it as often as is needed
    canvas.width = photo.naturalWidth; canvas.height = photo.naturalHeight;
  }

  texture(filter = this.gl.NEAREST) {
    const { gl } = this, made = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, made);
    for (const [name, value] of [["MIN_FILTER", filter], ["MAG_FILTER", filter], ["WRAP_S", gl.CLAMP_TO_EDGE], ["WRAP_T", gl.CLAMP_TO_EDGE]]) gl.texParameteri(gl.TEXTURE_2D, gl[`TEXTURE_${name}`], value);
    return made;
  }
  // Textures of half floats by name and size: those of one name are written again and again.
  target(name, width, height) {
    const { gl } = this, key = `${name} ${width} ${height}`;
    if (!this.pool.has(key)) {
      this.pool.set(key, this.texture(gl.LINEAR));
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA16F, width, height, 0, gl.RGBA, gl.HALF_FLOAT, null);
    }
    return this.pool.get(key);
  }
  program(name, source) {
    const { gl } = this;
    if (!this.programs[name]) {
      const made = gl.createProgram(), vertex = "#version 300 es\nvoid main() { gl_Position = vec4(gl_VertexID == 1 ? 3 : -1, gl_VertexID == 2 ? 3 : -1, 0, 1); }";
      for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, COMMON + source]]) { const shader = gl.createShader(kind); gl.shaderSource(shader, text); gl.compileShader(shader); gl.attachShader(made, shader); }
      gl.linkProgram(made);
      if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made) || gl.getError());
      this.programs[name] = { made, places: {} };
    }
    return this.programs[name];
  }
  // One pass: `given` are uniforms; textures are objects, lists of two or more are ivec2 or arrays. No targets: the canvas.
  pass(name, [width, height], targets, given, source = MAIN[name]) {
    const { gl } = this, { made, places } = this.program(name, source), place = (key) => (places[key] ??= gl.getUniformLocation(made, key));
    gl.useProgram(made);
    let unit = 0;
    for (const [key, value] of Object.entries({ size: [width, height], ...given })) {
      if (value instanceof WebGLTexture) { gl.activeTexture(gl.TEXTURE0 + unit); gl.bindTexture(gl.TEXTURE_2D, value); gl.uniform1i(place(key), unit++); }
      else if (value instanceof Float32Array) gl.uniform1fv(place(key), value);
      else if (Array.isArray(value)) gl.uniform2i(place(key), ...value);
      else if (key === "half_" || key === "part") gl.uniform1i(place(key), value);
      else gl.uniform1f(place(key), value);
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, targets.length ? this.frame : null);
    if (targets.length) {
      for (let k = 0; k < 4; k++) gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0 + k, gl.TEXTURE_2D, targets[k] || null, 0);
      gl.drawBuffers(targets.map((_, k) => gl.COLOR_ATTACHMENT0 + k));
    }
    gl.viewport(0, 0, width, height);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    return targets[0];
  }
  layer(weights, bias, from, to, dilation, last) {
    const { gl } = this, [groups, made] = [Math.ceil(from / 4), Math.ceil(to / 4)], block = new Float32Array(9 * groups * made * 16 + 4 * made);
    for (let o = 0; o < to; o++) for (let i = 0; i < from; i++) for (let k = 0; k < 9; k++) block[((k * groups + (i >> 2)) * made + (o >> 2)) * 16 + 4 * (i & 3) + (o & 3)] = weights[(o * from + i) * 9 + k];
    block.set(bias, 9 * groups * made * 16);
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.UNIFORM_BUFFER, buffer);
    gl.bufferData(gl.UNIFORM_BUFFER, block, gl.STATIC_DRAW);
    return { buffer, source: convolution(groups, made, dilation, last), count: made };
  }
  prepared(photo, map, width, height) {
    const whole = [width, height].map((side) => Math.ceil(side / 8) * 8), scene = this.target("scene", ...whole);
    this.pass("scene", whole, [scene], { photo, map, real: [width, height], highlights: this.told.highlights });
    return { photo, map, scene, real: [width, height], whole };
  }

  // Draw the photo on the canvas: focus -1 farthest to 1 nearest, the aperture in pixels of the photo.
  render(focus, aperture) {
    const photo = this.wide(0, focus, aperture);
    this.pass("show", this.sizes[0].real, [], { photo, real: this.sizes[0].real });
  }
  wide(number, focus, aperture) {
    const { real, whole, photo, map } = this.sizes[number], full = this.refined(number, focus, aperture), widest = (aperture * (1 + Math.abs(focus))) / 2;
    if (widest <= this.levels[this.levels.length - 1].level || Math.min(...real) < 16) return full;
    const half = real.map((side) => Math.ceil(side / 2)), halved = (from, depth) => this.pass("halve", half, [this.target(depth ? "photo" : "halved", ...half)], { photo: from, map: depth || from, real });
    if (!this.sizes[number + 1]) { const small = halved(photo, map); this.sizes.push(this.prepared(small, this.alpha(small, half), ...half)); }
    const change = this.pass("change", half, [this.target("change", ...half)], { photo: this.wide(number + 1, focus, aperture / 2), halved: halved(full) });
    return this.pass("add", whole, [this.target("whole", ...whole)], { photo: full, small: change, smallReal: half });
  }
  alpha(texture, size) { // the disparity that `halve` keeps beside the colours, as a map
    return this.pass("alpha", size, [this.target("map", ...size)], { photo: texture }, "uniform sampler2D photo; out vec4 made; void main() { made = vec4(texelFetch(photo, ivec2(gl_FragCoord.xy), 0).a); }");
  }
  refined(number, focus, aperture) {
    const { gl, told } = this, { scene, whole } = this.sizes[number], lens = { focus, aperture, last: this.levels[this.levels.length - 1].level };
    const of = (name) => this.target(name, ...whole), signed = [...this.levels.slice(1).reverse().map((level) => [level, -1]), ...this.levels.map((level) => [level, 1])];
    const places = signed.map(([{ level }, sign]) => sign * level), low = (aperture * (focus - 1)) / 2, high = (aperture * (focus + 1)) / 2;
    let turn = 0, made = this.pass("clear", whole, [of("made0")], {}, "out vec4 made; void main() { made = vec4(0.0); }");
    for (const [k, [{ part, half, disk }, sign]] of signed.entries()) {
      if ((k && high <= places[k - 1]) || (k + 1 < places.length && low >= places[k + 1])) continue; // the picture has no such blur
      const own = { ...lens, level: places[k], before: k ? 1 / (places[k] - places[k - 1]) : 1, after: k + 1 < places.length ? 1 / (places[k + 1] - places[k]) : 1 };
      const next = of(`made${(turn ^= 1)}`);
      if (part === 1) made = this.pass("near", whole, [next], { ...own, scene, before_: made, disk, half_: half });
      else {
        const size = whole.map((side) => side / part), small = this.pass("shrink", size, [this.target("small", ...size)], { ...own, scene, part });
        const spread = this.pass("spread", size, [this.target("spread", ...size)], { small, disk, half_: half });
        made = this.pass("lay", whole, [next], { small: spread, before_: made });
      }
    }
    const rendered = this.pass("develop", whole, [of("rendered")], { ...lens, scene, before_: made, highlights: told.highlights });
    if (!this.refiner.length) return this.pass("finish", whole, [of(`result`)], { rendered });
    let features = [];
    for (const [k, { buffer, source, count }] of this.refiner.entries()) {
      const targets = k === 2 ? [of("result")] : Array.from({ length: count }, (_, i) => of(`features${k} ${i}`));
      const given = k === 0 ? { rendered, scene } : Object.fromEntries(features.map((feature, i) => [`input${i}`, feature]));
      gl.bindBufferBase(gl.UNIFORM_BUFFER, 0, buffer);
      this.pass(`layer${k}`, whole, targets, k === 2 ? { ...given, rendered, strength: Math.min(1, aperture / told.aperture_scale) } : given, source);
      features = targets;
    }
    return features[0];
  }
  // Resolves when the GPU is done; never blocks.
  async done() {
    const { gl } = this, fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    while (gl.getSyncParameter(fence, gl.SYNC_STATUS) === gl.UNSIGNALED && !gl.isContextLost()) await new Promise((next) => setTimeout(next, 4));
    gl.deleteSync(fence);
    if (gl.isContextLost()) throw new Error("the GPU is gone");
  }
}

function halves(text) { // base64 of float16
  const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0)), words = new Uint16Array(bytes.buffer);
  return Float32Array.from(words, (word) => {
    const sign = word >> 15 ? -1 : 1, power = (word >> 10) & 31, part = word & 1023;
    return sign * (power ? 2 ** (power - 15) * (1 + part / 1024) : (2 ** -14 * part) / 1024);
  });
}
