/**
 * Modules whose names reach code, files, processes or the network, as the scanners of pickles list them
 * (https://github.com/mmaitre314/picklescan). Nothing of them is ever needed beside weights.
 */
const actingModules: ReadonlySet<string> = new Set(
  `_asyncio _pickle _posixsubprocess _winapi aiohttp antigravity asyncio bdb cPickle cProfile cloudpickle codeop
  commands concurrent ctypes dill doctest faulthandler fcntl ftplib gc http httplib idlelib imaplib imp importlib joblib
  lib2to3 marshal mmap msvcrt multiprocessing nt ntpath nturl2path os paramiko pdb pickle pip pkgutil platform popen2 poplib posix profile
  psutil pty pydoc requests runpy shelve shutil signal smtplib socket socketserver sqlite3 ssl subprocess sys sysconfig
  tarfile telnetlib tempfile threading timeit urllib urllib2 urllib3 venv webbrowser winreg xmlrpc zipfile zipimport`.split(
    /\s+/,
  ),
);

/** Modules that other modules import: `torch.os.system` is `os.system`. */
const reachedModules: ReadonlySet<string> = new Set(
  "__builtin__ __builtins__ builtins ctypes importlib nt os pickle posix pty runpy shutil socket subprocess sys".split(
    " ",
  ),
);

/** Functions that act, of modules that otherwise hold data. */
const actingNames: ReadonlySet<string> = new Set(
  `builtins.__import__ builtins.apply builtins.breakpoint builtins.compile builtins.delattr builtins.eval builtins.exec builtins.execfile
  builtins.exit builtins.file builtins.globals builtins.input builtins.locals builtins.open builtins.quit builtins.raw_input
  builtins.reload builtins.setattr builtins.vars
  _io.FileIO _io.open _io.open_code code.InteractiveConsole code.InteractiveInterpreter code.interact io.FileIO io.open io.open_code
  site.addsitedir site.execsitecustomize site.main trace.Trace
  numpy.fromfile numpy.load numpy.loadtxt numpy.genfromtxt numpy.memmap numpy.save numpy.savez
  operator.attrgetter operator.methodcaller pandas.eval pandas.read_pickle
  torch.load torch.save torch.hub torch.jit.load torch.serialization.load torch.storage._load_from_bytes
  torch.utils.cpp_extension torch.utils.model_zoo torch.classes.load_library torch.ops.load_library
  torch.distributed.rpc torch.multiprocessing torch.utils.bottleneck torch._C._jit_import_ir_module torch._inductor
  types.CodeType types.FunctionType types.MethodType`.split(/\s+/),
);

/** Attributes through which Python reaches all of itself. */
const reflection =
  /^__(base|bases|builtins|call|class|code|dict|func|getattr|getattribute|globals|import|loader|mro|reduce|self|setattr|spec|subclasses|closure)_*(ex)?__$/;

/**
 * Whether a dotted name can act: run code, start processes, or reach files or the network. Such names stand in a checkpoint only
 * to do harm; all other names are classes whose objects are data.
 */
export function canAct(full: string): boolean {
  const parts = full.split(".");
  if (actingModules.has(parts[0] ?? "")) return true;
  if (parts.some((part, i) => (i > 0 && reachedModules.has(part)) || reflection.test(part))) return true;
  // Paths are data; what they can do are their methods.
  if (parts[0] === "pathlib" && /^[a-z]/.test(parts[2] ?? "")) return true;
  return parts.some((_, i) => actingNames.has(parts.slice(0, i + 1).join(".")));
}
