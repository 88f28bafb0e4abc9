// Large parts travel gzipped in base64, inside script elements that nothing runs.

// Bytes of a packed part of the page. The element goes, for its text is not needed twice.
async function unpackPart(id) {
  if (typeof DecompressionStream === "undefined") {
    throw new Error(
      "this browser cannot unpack the view (DecompressionStream is missing): use Chrome or Edge " +
      "80, Safari 16.4, Firefox 113 or newer");
  }
  const element = document.getElementById(id);
  const packed = decodeBase64(element.textContent.trim());
  element.remove();
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).blob();
}

async function unpackText(id) {
  return (await unpackPart(id)).text();
}

// Import a packed ES module. It has its own address, which needs no server.
async function importPart(id) {
  const bytes = await unpackPart(id);
  const address = URL.createObjectURL(new Blob([bytes], { type: "text/javascript" }));
  try {
    return await import(address);
  } finally {
    URL.revokeObjectURL(address);
  }
}
