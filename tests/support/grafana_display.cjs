// What Grafana shows for frames, by its own code (@grafana/data): transformations, overrides,
// reduced values with text and colour. Reads one JSON document from stdin, writes one.
//   [{range: [from, to], panel: {...}, frames: [...]}] -> [{interval, shown}]
globalThis.window = globalThis;
globalThis.document = {
  createElement: () => ({ style: {} }),
  addEventListener() {},
  documentElement: { style: {} },
};
globalThis.localStorage = { getItem: () => null, setItem() {} };
globalThis.navigator = { userAgent: 'node', languages: ['en-GB'], language: 'en-GB' };
globalThis.location = { origin: 'http://x', href: 'http://x/', pathname: '/', search: '' };
const data = require('@grafana/data');

data.standardTransformersRegistry.setInit(() => {
  const byId = new Map();
  for (const one of Object.values(data.standardTransformers)) {
    byId.set(one.id, { id: one.id, name: one.name, transformation: one, editor: () => null });
  }
  return [...byId.values()];
});
// the properties of overrides that the dashboards set; custom ones are the panel's own
const options = ['displayName', 'unit', 'color', 'mappings', 'links', 'noValue', 'decimals',
  'min', 'max', 'thresholds'];
data.standardFieldConfigEditorRegistry.setInit(() => options.map((path) => ({
  id: path, path, name: path, shouldApply: () => true,
  settings: { expandTemplateVars: true },
  process: path === 'displayName' ? data.stringOverrideProcessor : (value) => value,
})));
const theme = data.createTheme({ colors: { mode: 'dark' } });
const same = (text) => text;

function interpolate(text, vars) {
  // ${__field.labels.NAME} in a display name
  return text.replace(/\$\{__field\.labels\.(\w+)\}/g, (whole, name) => {
    const field = vars && vars.__dataContext && vars.__dataContext.value.field;
    return field && field.labels ? field.labels[name] : whole;
  });
}

function written(display) {
  return `${display.prefix || ''}${display.text}${display.suffix || ''}`.trim();
}

async function show({ panel, frames, range }) {
  const at = { from: data.dateTime(range[0]), to: data.dateTime(range[1]) };
  const interval = data.rangeUtil.calculateInterval(
    { ...at, raw: at }, 1000, panel.interval).intervalMs;
  if (!frames) {
    return { interval };
  }
  let made = frames.map((frame) => data.toDataFrame(frame));
  if (panel.transformations) {
    made = await new Promise((resolve, reject) => {
      data.transformDataFrame(panel.transformations, made, { interpolate: same })
        .subscribe({ next: resolve, error: reject });
    });
  }
  const config = panel.fieldConfig;
  made = data.applyFieldOverrides({
    data: made, fieldConfig: config, replaceVariables: interpolate, theme, timeZone: 'utc',
  });
  if (panel.type === 'table') {
    return { interval, shown: table(made[0], panel) };
  }
  if (panel.type === 'timeseries') {
    return { interval, shown: made.flatMap((frame) => {
      const [time, ...lines] = frame.fields;
      return lines.map((value) => ({
        name: data.getFieldDisplayName(value, frame, made),
        color: value.config.color,
        times: time.values, values: value.values,
      }));
    }) };
  }
  const found = data.getFieldDisplayValues({
    fieldConfig: config, reduceOptions: panel.options.reduceOptions,
    replaceVariables: interpolate, theme, data: made, timeZone: 'utc',
  });
  return { interval, shown: found.map((one) => ({
    name: one.display.title, text: written(one.display), value: one.display.numeric,
    color: one.display.color,
  })) };
}

function table(frame, panel) {
  if (!frame) {
    return [];
  }
  const fields = frame.fields.map((field) => ({
    name: data.getFieldDisplayName(field, frame), field,
  }));
  let order = [...Array(frame.length).keys()];
  const by = panel.options.sortBy || [];
  order.sort((a, b) => {
    for (const { displayName, desc } of by) {
      const { field } = fields.find((one) => one.name === displayName);
      const way = (field.values[a] ?? -1) - (field.values[b] ?? -1);
      if (way) {
        return desc ? -way : way;
      }
    }
    return a - b;
  });
  return order.map((row) => Object.fromEntries(fields.map(({ name, field }) => {
    const display = field.display(field.values[row]);
    const links = (field.config.links || []).map((link) => link.url);
    return [name, { text: written(display), value: field.values[row], color: display.color, links }];
  })));
}

let input = '';
process.stdin.on('data', (part) => { input += part; });
process.stdin.on('end', async () => {
  const answers = [];
  for (const one of JSON.parse(input)) {
    answers.push(await show(one));
  }
  process.stdout.write(JSON.stringify(answers));
});
