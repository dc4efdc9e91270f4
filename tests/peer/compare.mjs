// For check_onnx.mjs and check_onnx_browser.py: the largest |difference| of a number between the vectors that `extract` gives of the
// texts and `exact`, and the smallest cosine of two vectors of a text.
export async function compare(extract, texts, exact, settings) {
    const dot = (a, b) => a.reduce((sum, x, place) => sum + x * b[place], 0);
    let [difference, cosine] = [0, 1];
    for (let start = 0; start < texts.length; start += 32) {
        const got = (await extract(texts.slice(start, start + 32), settings)).tolist();
        got.forEach((vector, row) => {
            const other = exact[start + row];
            vector.forEach((x, place) => (difference = Math.max(difference, Math.abs(x - other[place]))));
            cosine = Math.min(cosine, dot(vector, other) / Math.sqrt(dot(vector, vector) * dot(other, other)));
        });
    }
    return { difference, cosine };
}
