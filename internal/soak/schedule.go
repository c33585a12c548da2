package soak

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A strike is one moment at which processes are killed.
type strike struct {
	at      time.Duration // since the start of the load
	targets []string
	down    time.Duration // until they are started again
	alone   bool          // not a kill: the target's name says what it is
}

func (s strike) String() string {
	if s.alone {
		return fmt.Sprintf("%6.1fs %s", s.at.Seconds(), s.targets[0])
	}
	return fmt.Sprintf("%6.1fs kill %s for %.1fs", s.at.Seconds(), strings.Join(s.targets, " and "), s.down.Seconds())
}

// schedule plans the strikes of a run; the same seed gives the same plan. The
// first ones hit every target once, so that also a short run strikes each of them.
// What is alone is not struck together with others.
func schedule(seed uint64, length, every time.Duration, targets []string, alone func(string) bool) []strike {
	random := rand.New(rand.NewPCG(seed, seed))
	round := slices.Clone(targets)
	random.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
	var plan []strike
	for at := every / 2; at < length; {
		s := strike{at: at, down: time.Duration(random.Int64N(int64(every)))}
		if len(round) > 0 {
			s.targets, round = round[:1], round[1:]
		} else {
			s.targets = []string{targets[random.IntN(len(targets))]}
			if second := targets[random.IntN(len(targets))]; random.IntN(3) == 0 && second != s.targets[0] && !alone(second) && !alone(s.targets[0]) {
				s.targets = append(s.targets, second)
			}
		}
		s.alone = alone(s.targets[0])
		plan = append(plan, s)
		at += s.down + every/2 + time.Duration(random.Int64N(int64(every)))
	}
	return plan
}
