/** For the technician: a driver's wiring card, as the box prints it: line, cable, menu, limits, requests, scale. */
import { useEffect, useState } from "preact/hooks";
import { askBox, statuses } from "./api.ts";
import type { Status } from "./contract.ts";

const LOOK_MS = 700;
type CardNow = NonNullable<Status["card"]>;

/** What `of` names: a driver, bed/device, or "" for the list of drivers; null until the box has said it. */
function useCard(edge: string, of: string): { card: CardNow | null; problem: string | null } {
  const [card, setCard] = useState<CardNow | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    setCard(null);
    let timer = 0;
    const look = async (): Promise<void> => {
      const told = (await statuses()).find((one) => one.edge === edge)?.status?.card;
      if (told?.of !== of) return;
      window.clearInterval(timer);
      setCard(told);
    };
    void askBox(edge, "show_driver", { of }).then(setProblem);
    timer = window.setInterval(() => void look(), LOOK_MS);
    return () => window.clearInterval(timer);
  }, [edge, of]);
  return { card, problem };
}

export function Card({ edge, of }: { edge: string; of: string }) {
  const { card, problem } = useCard(edge, of);
  return problem !== null ? <p role="alert">{problem}</p> : <pre class="card" tabIndex={0} aria-label={`Wiring card of ${of}`}>{card === null ? "Looking it up …" : card.lines.join("\n")}</pre>;
}

/** Every driver this box has, and the card of the one that is chosen. */
export function Drivers({ edge }: { edge: string }) {
  const [of, setOf] = useState("");
  const { card, problem } = useCard(edge, "");
  const [all, setAll] = useState<CardNow["drivers"]>([]);
  useEffect(() => { if (card !== null) setAll(card.drivers); }, [card]);
  return (
    <div>
      {problem !== null && <p role="alert">{problem}</p>}
      {card !== null && card.lines.map((line) => <p key={line} role="alert">{line}</p>)}
      <label>How is it connected?<select value={of} onChange={(event) => setOf(event.currentTarget.value)}>
        <option value="">{all.length === 0 ? "Looking them up …" : "Choose a device"}</option>
        {all.map(({ name, title }) => <option key={name} value={name}>{title} ({name})</option>)}
      </select></label>
      {of !== "" && <Card edge={edge} of={of} />}
    </div>
  );
}
