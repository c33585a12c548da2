package tidings_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "tidings.example"

// allowed says which of the project's packages each package may import, by
// path below the module; "" is the root. A rule holds for the packages below
// it too, unless they have their own. It is the table of docs/architecture.md.
var allowed = map[string][]string{
	"":                    {},
	"broker":              {""},
	"outbox":              {""},
	"admin":               {""},
	"relay":               {"", "broker"},
	"inbox":               {"", "broker"},
	"codec":               {},
	"timer":               {"", "outbox"},
	"event":               {"", "codec", "outbox", "inbox", "broker"},
	"command":             {"", "codec", "outbox", "inbox", "broker"},
	"saga/machine":        {},
	"saga":                {"", "codec", "outbox", "inbox", "broker", "event", "command", "timer", "saga/machine"},
	"event/eventtest":     {"", "codec", "outbox", "inbox", "broker", "event", "store/memory"},
	"command/commandtest": {"", "codec", "outbox", "inbox", "broker", "command", "store/memory"},
	"saga/sagatest":       {"", "codec", "outbox", "inbox", "broker", "event", "command", "timer", "saga", "saga/machine", "store/memory"},
	"service":             {"", "broker", "outbox", "relay", "inbox", "event", "command", "timer", "saga"},
	"metrics":             {"", "broker", "outbox", "relay", "inbox", "event", "command", "timer", "saga", "saga/machine", "service", "admin"},
	"internal":            {"", "codec", "broker", "outbox", "relay", "inbox", "event", "command", "timer", "saga", "saga/machine", "service", "admin", "store", "internal", "metrics"},
	"broker/brokertest":   {"", "broker", "admin", "internal"},
	"broker/inproc":       {"", "broker", "broker/internal", "admin"},
	"broker/kafka":        {"", "broker", "broker/internal", "admin", "internal"},
	"broker/natsjs":       {"", "broker", "broker/internal", "admin", "internal"},
	"store":               {"", "outbox", "relay", "inbox", "command", "timer", "saga", "saga/machine", "admin", "internal"},
	"store/mysql/binlog":  {"", "relay", "admin", "internal", "store/mysql"},
	"store/postgres/wal":  {"", "relay", "admin", "internal", "store/postgres"},
	"store/storetest":     {"", "broker", "outbox", "relay", "inbox", "command", "timer", "saga", "saga/machine", "admin", "internal"},
	"inbox/inboxtest":     {"", "broker", "outbox", "relay", "inbox", "admin", "internal"},
	"internal/connect": {"", "broker", "outbox", "relay", "inbox", "event", "command", "timer", "saga", "service", "admin", "store", "internal",
		"broker/kafka", "broker/natsjs"},
}

// patterns use the standard library only: they are what users build on.
var patterns = []string{"", "codec", "broker", "outbox", "relay", "inbox", "event", "command", "timer", "saga", "saga/machine", "service", "admin"}

// anything may be imported by programs; nothing imports them.
var programs = []string{"cmd", "examples", "bench"}

// TestImportDirections keeps the architecture: who imports whom, in code and in
// the names of folders, so that the listing stays true.
func TestImportDirections(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		if strings.HasSuffix(f.path, "_test.go") || slices.ContainsFunc(programs, f.below) {
			continue
		}
		rule, ok := ruleFor(f.dir)
		if !ok {
			t.Errorf("%s: no rule for package %q; add it to the table", f.path, f.dir)
			continue
		}
		for _, imported := range f.imports {
			switch inside, ours := strings.CutPrefix(imported+"/", module+"/"); {
			case ours:
				inside = strings.TrimSuffix(inside, "/")
				if !permits(rule, inside) && inside != f.dir {
					t.Errorf("%s imports %q, which %q may not", f.path, imported, f.dir)
				}
			case slices.Contains(patterns, f.dir) && strings.Contains(strings.SplitN(imported, "/", 2)[0], "."):
				t.Errorf("%s imports %q: patterns use the standard library only", f.path, imported)
			case imported == "testing" && !strings.HasSuffix(f.dir, "test"):
				t.Errorf("%s imports testing outside tests", f.path)
			}
		}
	}
}

// TestAdaptersDoNotImportEachOther: each must be usable without the others' drivers.
func TestAdaptersDoNotImportEachOther(t *testing.T) {
	t.Parallel()
	adapter := func(p string) string {
		parts := strings.Split(p, "/")
		if len(parts) < 2 || parts[0] != "store" && parts[0] != "broker" || parts[1] == "internal" || strings.HasSuffix(parts[1], "test") {
			return ""
		}
		return parts[0] + "/" + parts[1]
	}
	for _, f := range goFiles(t) {
		from := adapter(f.dir)
		if from == "" || strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		for _, imported := range f.imports {
			to := adapter(strings.TrimPrefix(imported, module+"/"))
			if to != "" && strings.HasPrefix(imported, module) && to != from {
				t.Errorf("%s imports the adapter %s", f.path, to)
			}
		}
	}
}

// TestEveryPackageSaysWhatItIsFor: the doc comment is the first thing a reader meets.
func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	documented := map[string]bool{}
	for _, f := range goFiles(t) {
		if !strings.HasSuffix(f.path, "_test.go") {
			documented[f.dir] = documented[f.dir] || f.doc
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %q has no doc comment", dir)
		}
	}
}

func ruleFor(dir string) ([]string, bool) {
	for p := dir; ; p = path.Dir(p) {
		if rule, ok := allowed[p]; ok && (p != "" || dir == "") {
			return rule, true
		}
		if p == "." || p == "" {
			return nil, false
		}
	}
}

func permits(rule []string, p string) bool {
	return slices.ContainsFunc(rule, func(r string) bool {
		// Only stores and internal packages are meant with all that is below them.
		return p == r || (r == "store" || strings.HasSuffix(r, "internal")) && strings.HasPrefix(p, r+"/")
	})
}

type goFile struct {
	path, dir string
	imports   []string
	doc       bool
}

func (f goFile) below(dir string) bool { return f.dir == dir || strings.HasPrefix(f.dir, dir+"/") }

// goFiles parses all Go files of this module, without nested modules and test data.
func goFiles(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, nested := os.Stat(filepath.Join(p, "go.mod"))
			if p != "." && (nested == nil || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		f := goFile{path: p, dir: strings.TrimPrefix(filepath.ToSlash(filepath.Dir(p)), "."), doc: hasDoc(parsed)}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, imported)
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func hasDoc(f *ast.File) bool { return f.Doc != nil && strings.TrimSpace(f.Doc.Text()) != "" }
