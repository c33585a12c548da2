package machine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Fingerprint names what matters of a plan for sagas that run under it: names,
// kinds and order of its steps, how they are undone, the pivot, groups and
// conditions. It is 32 hexadecimal digits, the same in every process. Timeouts, retries
// and what is for people only do not change it.
func (p *Plan) Fingerprint() string {
	text, err := json.Marshal([]any{p.Name, essence(p.Steps)})
	if err != nil {
		// There are only strings and booleans in it.
		panic(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

func essence(steps []Step) []any {
	all := make([]any, 0, len(steps))
	for i := range steps {
		s := &steps[i]
		all = append(all, []any{s.Name, s.Kind, s.Compensation, s.Conditional, s.Pivot, s.Join, essence(s.Members)})
	}
	return all
}
