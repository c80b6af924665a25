/** Elements of the page. Names from the ROS graph may hold HTML: they enter the document only as text nodes. */

/**
 * Return a new element.
 *
 * @param {string} tag - Name of the element.
 * @param {Object} properties - Properties of the element; a name with a hyphen is an attribute.
 * @param {...(Node|string)} children - Nodes, and texts, which become text nodes.
 */
export function element(tag, properties = {}, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") created.setAttribute(name, value);
    else created[name] = value;
  }
  created.append(...children);
  return created;
}

/** Set an element's text if it differs, so that screen readers announce changes only. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

let lastNumber = 0;

/** Return an id that no other element of the page has. */
export function newId(prefix) {
  lastNumber += 1;
  return `${prefix}-${lastNumber}`;
}

/** Return a camera's name for people: the only camera of a detector has the name "". */
export function shownName(camera) {
  return camera || "camera";
}
